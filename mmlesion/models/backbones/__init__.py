from .stem_resnet import StemResNet
from .vgg import VGG

__all__ = ['VGG', 'StemResNet']
