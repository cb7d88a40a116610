import cv2
import numpy as np
from mmdet.registry import VISUALIZERS
from mmdet.visualization import DetLocalVisualizer

SOFT_TISSUE = (-175.0, 275.0)
# Stored value of 0 HU in DeepLesion's 16-bit PNG.
_PNG_OFFSET = 32768.0


def slice_to_rgb(image, window=SOFT_TISSUE):
    """Show the middle slice of an image as an 8-bit picture.

    Args:
        image (ndarray): (H, W) or (H, W, C). uint8 is shown as it is, uint16 is HU + 32768; other
            types are HU, but floats that all lie in 0 to 255 are taken as windowed already (HU
            of a slice with any air in it do not).
        window (tuple[float]): (low, high) HU. Defaults to soft tissue, -175 to 275.

    Returns:
        ndarray: (H, W, 3) uint8.
    """
    image = image.reshape(*image.shape[:2], -1)
    middle = image[..., image.shape[-1] // 2]
    if not _is_windowed(image):
        offset = _PNG_OFFSET if image.dtype == np.uint16 else 0.0
        low, high = window
        middle = (middle.astype(np.float32) - offset - low) * (255 / (high - low))
    grey = np.rint(middle).clip(0, 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=-1)


def _is_windowed(image):
    if image.dtype == np.uint8:
        return True
    return image.dtype.kind == 'f' and image.min() >= 0 and image.max() <= 255


@VISUALIZERS.register_module()
class LesionLocalVisualizer(DetLocalVisualizer):
    """mmdet's visualizer for CT: the middle slice of any number of channels, in a HU window.

    Labels stand above their boxes, so that they do not cover small lesions.

    Args:
        name (str): Name of the instance. Defaults to 'visualizer'.
        window (tuple[float], optional): (low, high) HU. Defaults to None: the first of the
            sample's own ``windows``, where it has them in its meta information, or soft tissue.
        line_width (int | float): Defaults to 1.
        **kwargs: mmdet's ``DetLocalVisualizer``'s options.
    """

    def __init__(self, name='visualizer', *, window=None, line_width=1, **kwargs):
        if window is not None and not window[0] < window[1]:
            raise ValueError(f'a window is (low, high) HU, but got {window}')
        super().__init__(name, line_width=line_width, **kwargs)
        self.window = window

    def add_datasample(self, name, image, data_sample=None, *args, **kwargs):
        """Draw a sample and save or show it, as mmdet's does.

        Args:
            name (str): The picture's name.
            image (ndarray): What :func:`slice_to_rgb` takes.
            data_sample (DetDataSample, optional): Annotations and predictions, boxes in px.
            *args: As mmdet's ``DetLocalVisualizer.add_datasample``.
            **kwargs: As mmdet's ``DetLocalVisualizer.add_datasample``.
        """
        picture = slice_to_rgb(image, self._window(data_sample))
        super().add_datasample(name, picture, data_sample, *args, **kwargs)

    def _window(self, data_sample):
        if self.window is not None:
            return self.window
        windows = [] if data_sample is None else data_sample.metainfo.get('windows') or []
        return np.reshape(windows, (-1, 2))[0] if len(windows) else SOFT_TISSUE

    def _draw_sem_seg(self, image, sem_seg, classes, palette):
        """Lay a map of lesion probability, or of labels, over a picture as a heat map.

        mmdet's own draws each value of the map as a label, which a probability is not.

        Args:
            image (ndarray): (H, W, 3) uint8 RGB.
            sem_seg (PixelData): ``sem_seg`` (1, H, W), probability in 0 to 1 or integer labels, 1
                for lesion, of which 255 is not known.
            classes (tuple[str]): Not used.
            palette (list): Not used.

        Returns:
            ndarray: (H, W, 3) uint8 RGB, opaque by half where the lesion is certain.
        """
        lesion = np.asarray(sem_seg.sem_seg.cpu())[0]
        lesion = lesion if lesion.dtype.kind == 'f' else (lesion == 1).astype(np.float32)
        heat = cv2.applyColorMap(np.rint(lesion * 255).astype(np.uint8), cv2.COLORMAP_JET)
        opacity = 0.5 * lesion[..., None]
        blended = image * (1 - opacity) + heat[..., ::-1] * opacity
        self.set_image(np.rint(blended).astype(np.uint8))
        return self.get_image()

    def draw_texts(self, texts, positions, font_sizes=None, vertical_alignments='bottom', **kwargs):
        """Draw texts, which by default end above their position.

        Args:
            texts (str | list[str]): The texts.
            positions (ndarray | Tensor): (2, ) or (n, 2) px.
            font_sizes (int | list[int], optional): As mmengine's ``Visualizer.draw_texts``.
            vertical_alignments (str | list[str]): Defaults to 'bottom'.
            **kwargs: As mmengine's ``Visualizer.draw_texts``.
        """
        lifted = positions - 2.5 * self.line_width
        # A text above the picture's edge would be cut off.
        lifted[..., 1] = lifted[..., 1].clip(min=12)
        return super().draw_texts(
            texts, lifted, font_sizes=font_sizes, vertical_alignments=vertical_alignments, **kwargs
        )
