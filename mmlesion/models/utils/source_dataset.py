"""The source dataset of a training batch."""

from __future__ import annotations

from collections.abc import Sequence

from mmdet.structures import DetDataSample

from mmlesion.utils import UserError


def batch_dataset(batch_data_samples: list[DetDataSample], datasets: Sequence[str]) -> str:
    """Find which dataset all samples of a batch are from.

    Args:
        batch_data_samples: Samples with ``dataset_name`` in their meta
            information.
        datasets: The datasets of the model.

    Returns:
        str: The name of the dataset.

    Raises:
        UserError: If a sample has no such name, the model has no such dataset, or a batch has
            samples of several.
    """
    names = {sample.metainfo.get('dataset_name') for sample in batch_data_samples}
    if None in names:
        raise UserError(
            "a sample has no dataset_name: set dataset_name='...' in each CTSliceDataset and add "
            "'dataset_name' to the meta_keys of PackDetInputs"
        )
    if not names <= set(datasets):
        raise UserError(
            f'a batch is from {", ".join(sorted(names))}, but the datasets of the model are '
            f'{", ".join(datasets)}: set its datasets=[...] to those of the training data'
        )
    if len(names) > 1:
        raise UserError(
            f'a batch mixes {", ".join(sorted(names))}: set '
            "batch_sampler=dict(type='SingleDatasetBatchSampler') in train_dataloader"
        )
    return names.pop()
