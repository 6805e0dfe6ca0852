"""Official benchmark files to one Parquet table: read once, safely, in little memory."""
