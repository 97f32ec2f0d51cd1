"""What experiments share: samples, records, tables, drawings."""
