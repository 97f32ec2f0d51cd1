"""Copies from the device to the host while the device goes on computing."""

from __future__ import annotations

import torch
from torch import Tensor


class Transfer:
    """Copies results to pinned arrays on a stream of its own; plain copies where there is no GPU.

    A result is first copied on the device, to one of two places in turn, so that the next pass may
    overwrite it.
    """

    def __init__(self, device: torch.device) -> None:
        self._is_cuda = device.type == "cuda"
        if self._is_cuda:
            self._stream = torch.cuda.Stream(device)
            self._places: list[Tensor | None] = [None, None]
            self._free = [torch.cuda.Event() for _ in range(2)]
            self._turn = 0

    def new_array(self, shape: tuple[int, ...]) -> Tensor:
        """Returns a float32 array on the host, pinned where there is a GPU.

        PyTorch keeps pinned memory for the next array once nobody holds this one any more.
        """
        return torch.empty(shape, dtype=torch.float32, pin_memory=self._is_cuda)

    def send(self, result: Tensor, out: Tensor) -> None:
        """Begins to copy a result of the current stream into a part of a host array."""
        if not self._is_cuda:
            out.copy_(result)
            return
        turn = self._turn
        self._turn = 1 - turn
        computing = torch.cuda.current_stream(result.device)
        computing.wait_event(self._free[turn])
        place = self._places[turn]
        if place is None or place.shape != result.shape:
            place = self._places[turn] = torch.empty_like(result)
        place.copy_(result)
        self._stream.wait_stream(computing)
        with torch.cuda.stream(self._stream):
            out.copy_(place, non_blocking=True)
            place.record_stream(self._stream)
            self._free[turn].record(self._stream)

    def wait(self) -> None:
        """Returns when everything that was sent has arrived."""
        if self._is_cuda:
            self._stream.synchronize()
