"""Experiments: one script per question; each writes records, tables and figures to results/."""

EXPERIMENTS: dict[str, str] = {
    "default_against_classical": "The embedded models and classical codecs on ten files",
    "languages_and_logs": "The embedded models, zpaq and PPMd on languages and logs",
    "round_trips": "Files of all kinds come back bit for bit",
    "non_text": "Executables, images and sound, with and without the adaptive stage",
    "prompt_records": "Small files with and without a prompt",
    "in_context": "Records by the length of the text that is read before them",
    "adaptive_ablation": "What each part of the adaptive stage is worth",
    "adaptive_lanes": "What reading a file in several lanes costs in bits",
    "mix_shift": "Bits per byte along a file: the GPT, the adaptive stage, and both",
    "adaptive_speed": "Speed of the adaptive stage",
    "speed": "Speed and memory of lmcompress and of classical codecs",
    "step_profile": "Where the time of one prediction goes",
    "gptzip": "gptzip, another compressor that uses a GPT, on the same weights",
    "lane_speed": "Bits per byte and speed by number of lanes",
    "levels": "Bits per byte and speed of the compression levels",
    "start_up": "Start-up time of commands",
    "growth": "Time and memory by file size",
    "cores": "Several cores against one, for a file of several segments",
    "cluster": "A cluster's overhead, efficiency and memory",
    "random_access": "Reading from the middle of a file, by segment size",
    "exactness_cost": "What exact arithmetic costs in bits",
    "pretrained": "SmolLM2-135M, a published model, as a compressor",
    "pretrained_whole": "SmolLM2-135M on whole texts",
    "pretrained_sizes": "Published families by size: GPT-2, Pythia, SmolLM2, Qwen3",
    "model_sizes": "Bits per byte by model size, compared with classical codecs",
    "table_1": "Table 1: codecs and models on text, images, speech and noise",
    "shipped_text": "Table 1 and Figure 4 in small, on a text that ships with Python",
    "figure_2": "Figure 2: rates that count the model's bytes, by its size and the data's",
    "figure_3": "Figure 3: compressors and models continue text, images and speech",
    "figure_4": "Figure 4: rates by length of the sequence",
    "table_2": "Table 2: do larger vocabularies help?",
    "scaling_law": "How bits per byte fall with parameters and with text read in training",
    "ladder_table": "The ladder of models: how each was trained, what it reaches and how fast",
    "architectures": "GPT-1, GPT-2 and GPT-3 compared at one small size",
    "families": "Causal, encoder-decoder, masked and diffusion networks as compressors",
    "candidates": "Candidates for the default model, small and trained briefly",
    "certificates": "The README's rates of four files, certified by prove",
    "claims": "False figures published by others, rebuilt small, and the files behind them",
    "findings": "The paper's findings compared with ours",
}
"""What `lmcompress reproduce` runs, in this order: name and title."""

GROUPS: dict[str, tuple[str, ...]] = {
    "Compared with other compressors": (
        "default_against_classical", "languages_and_logs", "round_trips", "non_text",
        "prompt_records", "in_context", "pretrained", "pretrained_whole", "pretrained_sizes",
        "model_sizes", "gptzip",
    ),
    "Speed and memory": (
        "speed", "levels", "lane_speed", "growth", "start_up", "adaptive_speed", "step_profile",
        "cores", "cluster", "random_access",
    ),
    "What each part is worth": (
        "mix_shift", "adaptive_ablation", "adaptive_lanes", "exactness_cost", "architectures",
        "families", "candidates", "ladder_table", "scaling_law",
    ),
    "The paper, measured again": (
        "findings", "table_1", "figure_2", "figure_3", "figure_4", "table_2", "shipped_text",
    ),
    "Proofs and false figures": ("certificates", "claims"),
}  # fmt: skip
"""The contents of the page of results: heading -> experiments. The paper is Delétang et al. (2024),
"Language Modeling Is Compression"."""

CAPTIONS: dict[str, str] = {
    "pretrained_sizes/by-size": "Bits per byte of three short texts, by the model's size and by "
    "the time for both ways. Only what could be fetched where this was run is drawn.",
    "in_context/in-context": "Bits per byte of small records by how much text of the same kind is "
    "read before each: zstd with a dictionary, the adaptive stage alone, a byte-level and a "
    "token-level model. Bands are 95 % intervals.",
    "adaptive_lanes/lanes": "Bits per byte of three files by number of lanes: the GPT alone, with "
    "an adaptive stage for each lane, and with one that all lanes share, which loses far less.",
    "architectures/curves": "Bits per byte during training, on text not seen before: GPT-1, GPT-2 "
    "and GPT-3 at the same small size. The legend has their bits per byte on held-out text.",
    "families/families": "Bits per byte of two texts by family of networks and by the order in "
    "which bytes are coded, with 95 % intervals; all networks are of one size.",
    "candidates/curves": "Bits per byte during training, on text not seen before: networks that "
    "might become the default model, each differing from the base in one respect.",
    "claims/claims": "For each false figure of others, rebuilt small: the bits per byte that it "
    "claims, and those of a file that can be decoded.",
    "default_against_classical/bits-per-byte": "Bits per byte of each file: lmcompress in blue, "
    "light blue without its model, classical codecs in grey. The best total stands on top.",
    "figure_2/adjusted-rate-by-size": "Compression rates that count the model's bytes, by "
    "parameters, for data sets of several sizes: the larger the data, the larger the best model.",
    "figure_3/images": "Patches of images whose right half each compressor or model filled in, "
    "byte by byte, from what it expects.",
    "figure_3/speech": "Speech that each compressor or model continued: grey is what it was given, "
    "blue what it drew, byte by byte, from what it expects.",
    "figure_3/text": "Text that each compressor or model continued, byte by byte, from what it "
    "expects. Above: what was given, and what really follows.",
    "figure_4/rate-by-length": "Compression rate of the first bytes of a chunk, by their number, "
    "with standard errors: classical codecs and models.",
    "lane_speed/lane-speed": "Left: speed both ways by number of lanes. Right: what the lanes "
    "cost in bits per byte.",
    "mix_shift/along-the-file": "Bits per byte along four files: the GPT alone, the adaptive stage "
    "alone, and both mixed, which is what lmcompress does.",
    "model_sizes/model-sizes": "Bits per byte by the model's parameters, alone and with the "
    "adaptive stage. Horizontal lines: classical codecs.",
    "scaling_law/scaling-law": "Left: bits per byte of the finished models by parameters, and the "
    "power law fitted to them. Right: their training curves and, if it "
    "predicts the largest within 3 %, a law fitted to the others'.",
    "speed/rate-against-speed": "Bits per byte against speed, on a log axis, each codec a dot: "
    "lower is smaller, further right is faster.",
    "table_1/rates": "Compressed size as a percentage of the raw size, each chunk on its own: "
    "lmcompress's models, classical codecs, and figures that others published.",
    "table_2/by-vocabulary": "Bits per byte of held-out text by the size of the tokenizer's "
    "vocabulary, for networks of two widths.",
}
"""Experiment and stem of a figure's file -> what a reader sees in it, for the page of results."""

NEEDS: dict[str, str] = {
    "cluster": "needs ray: pip install '.[cluster]'",
    "gptzip": "installs gptzip into the user's cache and downloads a model",
    "exactness_cost": "needs the float weights of lmc-3m in runs/",
    "pretrained": "downloads 98 MB",
    "pretrained_whole": "downloads 98 MB",
    "pretrained_sizes": "downloads each model that it can reach",
    "table_2": "trains the models that are missing",
    "architectures": "trains the models that are missing",
    "families": "trains the networks that are missing",
    "candidates": "trains the models that are missing; needs lmcompress fetch smollm2-135m",
    "findings": "reads the records of the others",
}
"""What an experiment takes besides texts and time; `reproduce --list` shows it."""

READS: dict[str, tuple[str, ...]] = {
    "figure_2": ("table_1",),
    "findings": ("table_1", "figure_4", "table_2"),
}
"""Whose records an experiment reads: it runs after those."""

WITHOUT_QUICK = {"exactness_cost", "gptzip", "claims"}
"""These have no quick form: they need the float weights of a long training or a download, or take
a minute and round as the machine does."""

DOWNLOADS = {"pretrained", "pretrained_whole"}
"""Left out of a quick run unless named: their quick forms download a model of 98 MB."""
