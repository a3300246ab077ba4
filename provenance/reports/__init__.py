"""Reports from sealed logs: the public summary of training content, and the data team's account of a crawl."""
