"""Training a GPT; a run that was interrupted resumes."""
