"""Tables, figures and one HTML page from the records in results/."""
