"""What experiments need before they start: texts by their registered names, and packages.

`lmcompress reproduce` looks for all of it first. A name that ends in / stands for all that begin
with it.
"""

from __future__ import annotations

_ENWIK8, _EXTRACT = "enwik/enwik8.head-4150000", "enwik/enwiki-2021-extract.part3"
_ALICE, _FIELDS = "canterbury/alice29.txt", "canterbury/fields.c"
_WIKITEXT, _JSON = "text/wikitext-2-test.txt", "logs/us-sba-data-catalog.json"
_PYTHON, _RUSSIAN = "code/python-3.11.7-stdlib.py.txt", "i18n/ru-crime-and-punishment.txt"
_TRAINING = tuple(f"enwik/enwiki-2021-extract.part{i}" for i in range(3))
_TEN = (
    _ALICE, "canterbury/asyoulik.txt", "canterbury/plrabn12.txt", "calgary/book1", "calgary/news",
    _ENWIK8, _WIKITEXT, _JSON, "logs/Apache_2k.log", _PYTHON,
)  # fmt: skip
_MODALITIES = (_ENWIK8, "kodak/", "librispeech/")
_SMALL = ("canterbury/grammar.lsp", "canterbury/xargs.1", _FIELDS)

TEXTS: dict[str, tuple[str, ...]] = {
    "default_against_classical": _TEN,
    "languages_and_logs": ("i18n/", "logs/"),
    "round_trips": (
        "canterbury/", "calgary/", "i18n/", "silesia/xml", "kodak/kodim01.png",
        "librispeech/1089-134691-0000.flac",
    ),
    "non_text": (
        "silesia/ooffice", "silesia/mr.4MiB-head", "silesia/x-ray.4MiB-head",
        "silesia/osdb.4MiB-head", "canterbury/kennedy.xls", "canterbury/sum", "canterbury/ptt5",
        "canterbury-large/E.coli", "calgary/obj2", "calgary/geo",
        "librispeech/librispeech-1995-1837-0001.wav", "librispeech/1089-134691-0000.flac",
        "kodak/kodim01.png",
    ),
    "prompt_records": (_JSON, "logs/Linux_2k.log", "logs/Apache_2k.log"),
    "in_context": ("logs/Linux_2k.log", _JSON, "text/nltk-abc-science.txt"),
    "adaptive_ablation": (*_TEN, _RUSSIAN, "i18n/kowiki-extract.txt"),
    "adaptive_lanes": (_ALICE, _RUSSIAN, _JSON),
    "mix_shift": (_ALICE, _PYTHON, _RUSSIAN, _JSON),
    "adaptive_speed": (_ALICE, _JSON),
    "speed": (_WIKITEXT,),
    "step_profile": (_WIKITEXT,),
    "gptzip": (_ALICE,),
    "lane_speed": ("calgary/book1",),
    "levels": (_WIKITEXT,),
    "start_up": (_ALICE,),
    "growth": ("silesia/dickens", "silesia/reymont", _ENWIK8),
    "cores": (_ENWIK8,),
    "cluster": (_ENWIK8,),
    "random_access": ("silesia/dickens", "silesia/reymont", _ENWIK8),
    "exactness_cost": (_ALICE, "calgary/book1", _ENWIK8, _PYTHON, _RUSSIAN),
    "pretrained": (
        _ALICE, "calgary/book1", _ENWIK8, _PYTHON, "logs/Apache_2k.log", "i18n/udhr-fra.txt",
        "i18n/udhr-rus.txt", "i18n/udhr-cmn_hans.txt",
    ),
    "pretrained_whole": (_ALICE, _JSON, "logs/Apache_2k.log"),
    "pretrained_sizes": (_ALICE, _ENWIK8, _PYTHON),
    "model_sizes": ("calgary/book1", _ENWIK8, _WIKITEXT),
    "table_1": (*_MODALITIES, _EXTRACT),
    "figure_2": (*_MODALITIES, _EXTRACT),
    "figure_3": _MODALITIES,
    "figure_4": _MODALITIES,
    "table_2": (_TRAINING[0], _EXTRACT),
    "ladder_table": (_ENWIK8, *_TRAINING, "enwik/enwiki-2016-pages.xml", _EXTRACT),
    "architectures": (_EXTRACT, *_TRAINING),
    "families": (_EXTRACT, _ALICE, *_TRAINING, "enwik/enwiki-2016-pages.xml"),
    "candidates": (*_TRAINING, "train/"),
    "certificates": ("calgary/book1", _ENWIK8, _PYTHON, _JSON),
    "claims": (_WIKITEXT, _RUSSIAN),
}  # fmt: skip

QUICK_TEXTS: dict[str, tuple[str, ...]] = TEXTS | {
    "default_against_classical": _SMALL,
    "languages_and_logs": ("i18n/udhr-fra.txt", "i18n/udhr-jpn.txt"),
    "round_trips": _SMALL[:2],
    "non_text": ("canterbury/sum",),
    "in_context": ("logs/Linux_2k.log",),
    "adaptive_ablation": (_FIELDS, "canterbury/xargs.1"),
    "adaptive_lanes": (_FIELDS,),
    "mix_shift": (_FIELDS,),
    "adaptive_speed": (_FIELDS,),
    "levels": _SMALL[:1],
    "growth": ("silesia/dickens",),
    "random_access": ("silesia/dickens",),
    "pretrained": (_ALICE,),
    "pretrained_whole": (_ALICE,),
    "pretrained_sizes": (_ALICE,),
    "certificates": _SMALL[:1],
}
"""What the quick forms need."""

EXTRAS: dict[str, tuple[str, ...]] = {
    "paper": (
        "PIL", "brotli", "bz3", "gguf", "huggingface_hub", "matplotlib", "pyppmd", "scipy",
        "soundfile", "tokenizers", "zpaq", "zstandard",
    ),
    "cluster": ("ray",),
}  # fmt: skip
"""The packages of an extra, as they are imported. Every experiment may use any of `paper`."""
MORE_EXTRAS: dict[str, tuple[str, ...]] = {"cluster": ("cluster",)}
"""What single experiments need besides."""
