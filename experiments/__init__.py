"""Experiments: one script per question; each writes records, tables and figures into results/."""

EXPERIMENTS: dict[str, str] = {
    "default_against_classical": "the default model and classical codecs, file by file",
    "languages_and_logs": "the default model against zpaq and PPMd on languages and logs",
    "round_trips": "files through the command line, bit for bit",
    "non_text": "executables, images, sound: the mixture against its parts",
    "prompt_records": "small files with and without a prompt",
    "adaptive_ablation": "what each part of the adaptive stage is worth",
    "adaptive_lanes": "what lanes cost",
    "mix_shift": "who predicts what along a file",
    "adaptive_speed": "speed of the adaptive stage",
    "speed": "speed of the exact engine",
    "step_profile": "where the time of a step goes",
    "gptzip": "gptzip on the same weights",
    "lane_speed": "bits per byte and speed against lanes",
    "start_up": "what a command costs before it does anything",
    "growth": "time and memory against the size of the file",
    "exactness_cost": "the float network against its exact form",
    "pretrained": "SmolLM2-135M: files, exactness, windows, characters",
    "pretrained_whole": "SmolLM2-135M on a whole text: lanes, threads, float32",
    "model_sizes": "bits per byte against parameters, with classical codecs",
    "table_1": "Table 1: raw and adjusted rates of codecs and models, four modalities",
    "figure_2": "Figure 2: adjusted rate against model size, by the size of the data set",
    "figure_3": "Figure 3: compressors and models continue text, images, speech",
    "figure_4": "Figure 4: rate against sequence length, classical codecs and models",
    "table_2": "Table 2: tokenizers against model sizes",
    "scaling_law": "how bits per byte fall with parameters and with bytes seen",
    "ladder_table": "the ladder: size, training, bits per byte float and exact, speed",
    "architectures": "GPT-1, GPT-2 and GPT-3 at one small size",
    "candidates": "candidates for the default model, short and small",
    "findings": "the paper's findings and ours, from the records of the others",
}
"""What `lmcompress reproduce` runs, in this order: name and title."""

NEEDS: dict[str, str] = {
    "gptzip": "installs gptzip into the user's cache, downloads a model",
    "exactness_cost": "full runs only, needs runs/lmc-3m",
    "pretrained": "downloads 98 MB",
    "pretrained_whole": "downloads 98 MB",
    "table_2": "trains models, unless runs/ has them",
    "architectures": "trains models, unless runs/ has them",
    "candidates": "trains models, unless runs/ has them",
}
"""What a reader should know before running these."""

WITHOUT_QUICK = {"exactness_cost", "gptzip"}
"""These have no quick form: they need the float weights of a long training, or a download."""

DOWNLOADS = {"pretrained", "pretrained_whole"}
"""Left out of a quick run that does not name them: their quick forms download a model."""
