"""The source dataset of a training batch."""

from __future__ import annotations

from collections.abc import Sequence

from mmdet.structures import DetDataSample

from mmlesion.utils import UserError


def batch_dataset(batch_data_samples: list[DetDataSample], datasets: Sequence[str]) -> str:
    """Find which dataset all samples of a batch are from.

    Args:
        batch_data_samples (list[DetDataSample]): Samples with ``dataset_name`` in their meta
            information.
        datasets (Sequence[str]): The datasets that a model knows.

    Returns:
        str: The name of the dataset.

    Raises:
        UserError: If a sample has no such name, the model does not know it, or there are several.
    """
    names = {sample.metainfo.get('dataset_name') for sample in batch_data_samples}
    if None in names:
        raise UserError(
            "a sample does not say which dataset it is from: set dataset_name='...' in each "
            "CTSliceDataset and add 'dataset_name' to the meta_keys of PackDetInputs"
        )
    if not names <= set(datasets):
        raise UserError(
            f'a batch is from {", ".join(sorted(names))}, but the model knows '
            f'{", ".join(datasets)}: set its datasets=[...] to those of the training data'
        )
    if len(names) > 1:
        raise UserError(
            f'a batch mixes {", ".join(sorted(names))}: set '
            "batch_sampler=dict(type='SingleDatasetBatchSampler') in train_dataloader"
        )
    return names.pop()
