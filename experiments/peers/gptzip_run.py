"""Compresses one text with gptzip, restores it, and prints what that took as one line of JSON.

    python experiments/peers/gptzip_run.py CHECKPOINT TEXT

Runs in an environment of its own (requirements.txt beside it): gptzip needs an older
`transformers` than the project. CHECKPOINT is a GGUF file or a folder.
"""

import contextlib
import json
import os
import sys
import time
from pathlib import Path

import torch
from gptzip import ArithmeticCoder
from transformers import AutoModelForCausalLM, AutoTokenizer


def load(path):
    """Returns network and tokenizer, float32."""
    folder, options = str(path), {}
    if path.suffix == ".gguf":
        folder, options = str(path.parent), {"gguf_file": path.name}
    network = AutoModelForCausalLM.from_pretrained(folder, torch_dtype=torch.float32, **options)
    tokenizer = AutoTokenizer.from_pretrained(folder, **options)
    if path.suffix == ".gguf":
        set_rotary_base(network, path)
        network.lm_head.weight = network.model.embed_tokens.weight  # tied in the file
    return network.eval(), tokenizer


def set_rotary_base(network, path):
    """Gives the network the file's rotary base, which transformers 4.46 reads as 10,000."""
    from gguf import GGUFReader

    [base] = GGUFReader(path).fields["llama.rope.freq_base"].parts[-1]
    rotary = network.model.rotary_emb
    dims = torch.arange(0, network.config.head_dim, 2, dtype=torch.float32)
    frequencies = float(base) ** -(dims / network.config.head_dim)
    assert rotary.inv_freq.shape == frequencies.shape
    rotary.inv_freq = rotary.original_inv_freq = frequencies


def main():
    """Runs gptzip once each way."""
    checkpoint, text = Path(sys.argv[1]), Path(sys.argv[2]).read_bytes().decode()
    network, tokenizer = load(checkpoint)
    coder = ArithmeticCoder(lm=network, tokenizer=tokenizer)
    with contextlib.redirect_stdout(sys.stderr):  # it prints
        started = time.perf_counter()
        code, padded = coder.encode(text, return_num_padded_bits=True)
        encoded = time.perf_counter()
        restored = coder.decode(code, num_padded_bits=padded)
        decoded = time.perf_counter()
    print(
        json.dumps(
            {
                "compressed bytes": len(code),
                "compress s": encoded - started,
                "decompress s": decoded - encoded,
                "round trip": restored == text,
                "restored_head": None if restored == text else restored[-80:],
                "threads": torch.get_num_threads(),
                "peak MB": peak_kib() * 1024 // 10**6,
                "versions": versions(),
            }
        )
    )


def peak_kib():
    """Returns this process's peak memory; getrusage's counts the parent's before exec too."""
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])


def versions():
    """Returns the versions that matter, and the processors this may run on."""
    from importlib.metadata import version

    names = {name: version(name) for name in ("gptzip", "transformers", "torch")}
    return {**names, "cpus": len(os.sched_getaffinity(0))}


if __name__ == "__main__":
    main()
