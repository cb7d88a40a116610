import numpy as np
import torch

from mmlesion.models.layers import AttentionGate


def test_known_value():
    gate = AttentionGate(2, 1, inter_channels=2)
    values = dict(
        skip_conv=([[1, 0], [0, 2]], None),
        gate_conv=([[1], [-1]], [0.5, 0]),
        map_conv=([[1, 3]], [-1]),
    )
    for name, (weight, bias) in values.items():
        conv = getattr(gate, name)
        conv.weight.data = torch.tensor(weight, dtype=torch.float)[..., None, None]
        if bias is not None:
            conv.bias.data = torch.tensor(bias, dtype=torch.float)
    skip = torch.tensor([0.25, -2.0]).reshape(1, 2, 1, 1)
    out = gate(skip, torch.tensor(0.25).reshape(1, 1, 1, 1))
    # sums 0.25 + 0.25 + 0.5 = 1 and -4 - 0.25 < 0; map 1 * 1 + 3 * 0 - 1 = 0, its sigmoid 0.5
    assert out.flatten().tolist() == [0.125, -1.0]


def test_a_coarser_gate_is_upsampled():
    gate = AttentionGate(6, 4)
    skip, coarse = torch.randn(2, 6, 8, 6), torch.randn(2, 4, 4, 3)
    upsampled = coarse.repeat_interleave(2, 2).repeat_interleave(2, 3)
    torch.testing.assert_close(gate(skip, coarse), gate(skip, upsampled))


def test_against_a_plain_loop():
    torch.manual_seed(0)
    gate = AttentionGate(6, 4)
    skip, signal = torch.randn(2, 6, 3, 5), torch.randn(2, 4, 3, 5)
    w_skip, w_gate, w_map = (
        conv.weight.detach().numpy()[..., 0, 0]
        for conv in (gate.skip_conv, gate.gate_conv, gate.map_conv)
    )
    assert w_skip.shape == (3, 6)
    b_gate, b_map = gate.gate_conv.bias.detach().numpy(), gate.map_conv.bias.item()
    out = gate(skip, signal).detach().numpy()
    for n, y, x in np.ndindex(2, 3, 5):
        added = w_skip @ skip[n, :, y, x].numpy() + w_gate @ signal[n, :, y, x].numpy() + b_gate
        attention = 1 / (1 + np.exp(-(w_map @ added.clip(0) + b_map)))
        np.testing.assert_allclose(
            out[n, :, y, x], attention * skip[n, :, y, x].numpy(), rtol=1e-4, atol=1e-6
        )
