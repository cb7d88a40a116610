import torch
from mmdet.models.roi_heads.bbox_heads import Shared2FCBBoxHead

from mmlesion.models import FCEncoder


def test_the_layers_of_mmdets_head():
    torch.manual_seed(0)
    head = Shared2FCBBoxHead(in_channels=4, roi_feat_size=3, fc_out_channels=8, num_classes=1)
    encoder = FCEncoder(in_channels=4, roi_feat_size=3, fc_out_channels=8)
    linear = [layer for layer in encoder.layers if hasattr(layer, 'weight')]
    for layer, own in zip(head.shared_fcs, linear):
        own.load_state_dict(layer.state_dict())
    x = torch.randn(5, 4, 3, 3)
    features, relations = encoder(x, [5])
    assert features.shape == (5, encoder.out_channels) == (5, 8)
    assert relations is None
    torch.testing.assert_close(head.fc_cls(features), head(x)[0])


def test_initialized_as_mmdets_head():
    torch.manual_seed(0)
    encoder = FCEncoder(in_channels=4, roi_feat_size=3, fc_out_channels=64)
    encoder.init_weights()
    for layer in (encoder.layers[1], encoder.layers[3]):
        bound = (6 / sum(layer.weight.shape)) ** 0.5  # of Xavier's uniform distribution
        assert 0.95 * bound < layer.weight.abs().max() <= bound
        assert not layer.bias.any()
