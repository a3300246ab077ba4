"""What stands beside our fleet in `benchmarks/bench_fleet.py`: plain Scrapy on our frontier, and scrapy-redis."""
