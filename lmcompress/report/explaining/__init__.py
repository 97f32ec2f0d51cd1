"""The page of `lmcompress explain`: a text colored by what each byte of it costs."""
