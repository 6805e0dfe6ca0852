"""From the files a sweep leaves to Parquet, tables and pictures. No torch, no Ray."""
