"""Predictors made of models: of ours, of `transformers`, and any `forward(ids) -> logits`.

They run in the predictor's process, in the folder that holds the model's files.
"""
