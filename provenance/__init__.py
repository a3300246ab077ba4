"""What was decided and why: the rules in force, the log, its proofs, its verification. Runs without Scrapy."""
