"""Experiments: one script per question; each writes records, tables and figures to results/."""

EXPERIMENTS: dict[str, str] = {
    "default_against_classical": "The default model and classical codecs on ten files",
    "languages_and_logs": "The default model, zpaq and PPMd on languages and logs",
    "round_trips": "Files of all kinds through the command line, bit for bit",
    "non_text": "Executables, images and sound, with and without the adaptive stage",
    "prompt_records": "Small files with and without a prompt",
    "adaptive_ablation": "What each part of the adaptive stage is worth",
    "adaptive_lanes": "What lanes cost in bits",
    "mix_shift": "Bits per byte of the GPT, the stage and both, by position in the file",
    "adaptive_speed": "Speed of the adaptive stage",
    "speed": "Speed of the exact engine and of classical codecs",
    "step_profile": "Where the time of one step goes",
    "gptzip": "gptzip on the same weights",
    "lane_speed": "Bits per byte and speed by number of lanes",
    "levels": "Bits per byte and speed of the compression levels",
    "start_up": "Start-up time of commands",
    "growth": "Time and memory by file size",
    "cores": "Several cores against one, for a file of several segments",
    "random_access": "Reading from the middle of a file, by segment size",
    "exactness_cost": "The float network compared with its exact form",
    "pretrained": "SmolLM2-135M: files, exactness, windows, characters",
    "pretrained_whole": "SmolLM2-135M on whole texts: lanes, threads, float32",
    "model_sizes": "Bits per byte by model size, compared with classical codecs",
    "table_1": "Table 1: raw and adjusted rates of codecs and models, four modalities",
    "figure_2": "Figure 2: adjusted rate by model size and size of the data set",
    "figure_3": "Figure 3: compressors and models continue text, images and speech",
    "figure_4": "Figure 4: rate by sequence length, classical codecs and models",
    "table_2": "Table 2: tokenizers and model sizes",
    "scaling_law": "Bits per byte by parameters and by bytes seen in training",
    "ladder_table": "The ladder: size, training, bits per byte float and exact, speed",
    "architectures": "GPT-1, GPT-2 and GPT-3 compared at one small size",
    "candidates": "Candidates for the default model, small and trained briefly",
    "certificates": "The README's figures of lmcompress, certified by prove",
    "claims": "False figures of others, rebuilt small, and what a file takes",
    "findings": "The paper's findings compared with ours",
}
"""What `lmcompress reproduce` runs, in this order: name and title."""

NEEDS: dict[str, str] = {
    "gptzip": "installs gptzip into the user's cache and downloads a model",
    "exactness_cost": "needs the float weights of lmc-3m in runs/",
    "pretrained": "downloads 98 MB",
    "pretrained_whole": "downloads 98 MB",
    "table_2": "trains the models that are missing",
    "architectures": "trains the models that are missing",
    "candidates": "trains the models that are missing",
    "findings": "reads the records of the others",
}
"""What an experiment takes besides texts and time; `reproduce --list` shows it."""

WITHOUT_QUICK = {"exactness_cost", "gptzip", "claims"}
"""These have no quick form: they need the float weights of a long training or a download, or take
a minute and round as the machine does."""

DOWNLOADS = {"pretrained", "pretrained_whole"}
"""Left out of a quick run unless named: their quick forms download a model of 98 MB."""
