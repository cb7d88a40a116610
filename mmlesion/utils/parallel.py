from functools import partial
from multiprocessing import Pool

from tqdm import tqdm


def run_parallel(function, tasks, workers=1, desc=None, unit='it'):
    """Call a function on each task, in processes and with a progress bar.

    Args:
        function (Callable): Takes one task; it and the tasks are pickled if there are several
            processes.
        tasks (Sequence): The tasks.
        workers (int): Processes. Defaults to 1, this one.
        desc (str, optional): What the progress bar says.
        unit (str): What it calls a task.

    Returns:
        list: The results, in the order of the tasks.
    """
    progress = partial(tqdm, total=len(tasks), desc=desc, unit=unit)
    workers = min(workers, len(tasks))
    if workers <= 1:
        return [function(task) for task in progress(tasks)]
    with Pool(workers) as pool:
        return list(progress(pool.imap(function, tasks)))
