"""What the converters of volumes refuse: KiTS19, LiTS, LUNA16, NIH-LN and NIfTI."""

from bad_input_spoil import (
    binary,
    both,
    file_for,
    folder_for,
    image,
    nifti_spacing,
    remove,
    replaced,
    text,
    truncate,
    voxel,
)
from bad_input_table import Tool, of_options, of_tool, table

NAN, INF = float('nan'), float('inf')
SLICES = ('out/cases/*.json', 'out/Images_png/*.png')
VOLUMES = ('out/volumes/*',)
COMMON = '--out {out} --workers 1 --strict'
KITS19 = Tool('dataset_converters/kits19.py', 'kits19', '{data} ' + COMMON, SLICES)
LITS = Tool('dataset_converters/lits.py', 'lits', '{data} ' + COMMON, SLICES)
NIH_LN = Tool('dataset_converters/nih_ln.py', 'nih_ln', '{data} ' + COMMON, SLICES)
LISTED = ('out/seriesuids.csv',)
LUNA16 = Tool('dataset_converters/luna16.py', 'luna16', '{data} ' + COMMON, VOLUMES + LISTED)
LUNA16_SLICES = Tool(
    'dataset_converters/luna16_slices.py', 'luna16', '{data} ' + COMMON, SLICES + LISTED
)
BOXES = Tool(
    'convert.py', 'nifti', 'nifti {data}/images --boxes {data}/boxes.csv ' + COMMON, SLICES
)
MASKS = Tool('convert.py', 'nifti', 'nifti {data}/images --masks {data}/masks ' + COMMON, SLICES)
CASES = MASKS._replace(arguments=MASKS.arguments + ' --cases {data}/cases.csv')
NIFTI_VOLUMES = MASKS._replace(arguments=MASKS.arguments + ' --volumes', keeps=VOLUMES)

SCAN, LABELS = 'case_00000/imaging.nii.gz', 'case_00000/segmentation.nii.gz'
UID = '1.2.3'
MHD, RAW = f'subset0/{UID}.mhd', f'subset0/{UID}.raw'
LUNGS = f'seg-lungs-LUNA16/{UID}.mhd'
SERIES = 'ABD_LYMPH_001/series'
NODES = 'MED_ABD_LYMPH_MASKS/ABD_LYMPH_001/ABD_LYMPH_001_mask.nii.gz'
POINTS = 'MED_ABD_LYMPH_ANNOTATIONS/MED_LYMPH_001/MED_LYMPH_001_lymphnodes_{}.txt'.format

SHARES = (
    ('--seed -1', '--seed'),
    ('--workers 0', '--workers'),
    ('--workers -3', '--workers'),
    ('--allow-skipped -1', '--allow-skipped'),
    ('--min-area nan', 'min_area is nan'),
    ('--min-area inf', 'min_area is inf'),
    ('--val-share 2', '--val-share is 2'),
    ('--val-share nan', '--val-share is nan'),
    ('--test-share -0.1', '--test-share is -0.1'),
)


def test_valid_data_are_converted(valid_data, run_tool, tmp_path):
    """Else a table would show nothing."""
    tools = (KITS19, LITS, NIH_LN, LUNA16, LUNA16_SLICES, BOXES, MASKS, CASES, NIFTI_VOLUMES)
    for number, tool in enumerate(tools):
        data, out = valid_data(tool.data), tmp_path / str(number)
        run_tool(tool.script, *tool.arguments.format(data=data, out=out).split())
        assert list(out.glob('*.json'))


@table(
    *of_tool(
        KITS19,
        ('no folder', 'is not a folder', remove('')),
        ('a file for the folder', 'is not a folder', file_for('')),
        (
            'empty folder',
            'has no case_*/segmentation.nii.gz',
            both(remove('case_00000'), remove('case_00001')),
        ),
        ('no scan', 'get_imaging', remove(SCAN)),
        ('a folder for the scan', 'get_imaging', folder_for(SCAN)),
        ('truncated scan', 'check that the file is whole', truncate(SCAN)),
        ('empty scan', 'cannot read', truncate(SCAN, 0)),
        ('text for the scan', 'cannot read', text(SCAN, 'no volume')),
        ('bytes for the scan', 'cannot read', binary(SCAN)),
        ('truncated segmentation', 'cannot read', truncate(LABELS)),
        ('a folder for the segmentation', 'there is no', folder_for(LABELS)),
        ('NaN voxel', 'NaN or infinite', voxel(SCAN, NAN)),
        ('infinite voxel', 'NaN or infinite', voxel(SCAN, INF)),
        ('a voxel of 1e9', 'cannot be a CT scan', voxel(SCAN, 1e9)),
        ('NaN in the segmentation', 'NaN or infinite', voxel(LABELS, NAN)),
        ('label 7', 'has the label 7', voxel(LABELS, 7)),
        ('label -1', 'not a segmentation', voxel(LABELS, -1)),
        ('other size', 'have the size', image(LABELS, lambda volume: volume[:, 1:])),
        ('a picture', 'not a single 3D volume', image(SCAN, lambda volume: volume[:, :, :1])),
    ),
    *of_options(KITS19, *SHARES, ('--context-mm -1', 'context_mm is -1')),
    *of_options(
        KITS19, ('--seed one', 'invalid int value'), ('--unknown', 'unrecognized'), status=2
    ),
)
def test_kits19(case, refuses):
    refuses(case)


@table(
    *of_tool(
        LITS,
        ('no folder', 'is not a folder', remove('')),
        (
            'no segmentations',
            'has no volume-*.nii',
            both(remove('segmentation-0.nii'), remove('segmentation-1.nii')),
        ),
        ('truncated volume', 'cannot read', truncate('volume-0.nii')),
        ('truncated header', 'cannot read', truncate('volume-0.nii', 0.005)),
        ('a folder for the volume', 'there is no', folder_for('volume-0.nii')),
        ('NaN spacing', 'spacing', nifti_spacing('volume-0.nii', NAN)),
        ('infinite spacing', 'spacing', nifti_spacing('volume-0.nii', INF)),
        ('spacing 1e-30', 'spacing', nifti_spacing('volume-0.nii', 1e-30)),
        ('spacing 1e9', 'spacing', nifti_spacing('volume-0.nii', 1e9)),
        ('NaN voxel', 'NaN or infinite', voxel('volume-0.nii', NAN)),
        ('label 9', 'has the label 9', voxel('segmentation-0.nii', 9)),
        ('other size', 'have the size', image('segmentation-0.nii', lambda volume: volume[1:])),
    ),
    *of_options(LITS, *SHARES),
)
def test_lits(case, refuses):
    refuses(case)


def lists(tool):
    """What both of LUNA16's converters refuse of its lists."""
    row = f'{UID},10,18,8,5'
    return of_tool(
        tool,
        ('no list', 'annotations.csv', remove('annotations.csv')),
        ('a folder for a list', 'annotations.csv', folder_for('annotations.csv')),
        ('empty list', 'has no column', truncate('annotations.csv', 0)),
        ('binary list', 'not a readable CSV', binary('annotations.csv')),
        ('text for a diameter', 'not 4 finite numbers', replaced('annotations.csv', '8,5', '8,x')),
        ('NaN center', 'not 4 finite numbers', replaced('annotations.csv', '10,18', 'nan,18')),
        ('1e400 for a center', 'not 4 finite numbers', replaced('annotations.csv', '10', '1e400')),
        ('a cell too many', 'has 6 columns', replaced('annotations.csv', row, f'{row},1')),
        ('other columns', 'has no column coordX', replaced('annotations.csv', 'coordX', 'x')),
        ('no folder', 'has no scan', both(remove('subset0'), remove('subset1'))),
        ('truncated voxels', 'is truncated', truncate(RAW)),
        ('no voxels', 'there is no', remove(RAW)),
        ('a folder for the voxels', '.raw', folder_for(RAW)),
        ('text for a header', '.mhd', text(MHD, 'no header')),
        ('empty header', '.mhd', text(MHD, '')),
        (
            'NaN spacing',
            '.mhd',
            replaced(MHD, 'ElementSpacing = 1 1 1', 'ElementSpacing = 1 nan 1'),
        ),
        ('zero spacing', '.mhd', replaced(MHD, 'ElementSpacing = 1 1 1', 'ElementSpacing = 1 0 1')),
        ('text for a size', '.mhd', replaced(MHD, 'DimSize = 40 40 16', 'DimSize = 40 x 16')),
        (
            'size of 10^12',
            '.mhd',
            replaced(MHD, 'DimSize = 40 40 16', 'DimSize = 40 40 1000000000000'),
        ),
        ('negative size', '.mhd', replaced(MHD, 'DimSize = 40 40 16', 'DimSize = 40 -40 16')),
        ('no type of voxels', '.mhd', replaced(MHD, 'MET_SHORT', 'MET_NOTHING')),
        ('a scan in two subsets', 'is in subset0 and subset5', copied(MHD, f'subset5/{UID}.mhd')),
    )


def copied(name, other):
    return lambda data: text(other, (data / name).read_text())(data)


@table(
    *lists(LUNA16),
    *of_tool(
        LUNA16,
        ('no masks', 'is not a folder', remove('seg-lungs-LUNA16')),
        ('no mask', 'there is no', remove(LUNGS)),
        ('truncated mask', 'is truncated', truncate(LUNGS.replace('mhd', 'raw'))),
        ('mask without lungs', 'has no lungs', image(LUNGS, lambda labels: labels * 0)),
        (
            'mask elsewhere',
            'outside of their scan',
            replaced(LUNGS, 'Offset = 0 0 0', 'Offset = 0 0 9e3'),
        ),
    ),
    *of_options(
        LUNA16,
        ('--margin -1', 'the margin is -1'),
        ('--margin nan', 'the margin is nan'),
        ('--workers 0', '--workers'),
    ),
    *of_options(LUNA16, ('--outside else', 'invalid choice'), status=2),
)
def test_luna16(case, refuses):
    refuses(case)


@table(
    *lists(LUNA16_SLICES),
    *of_tool(
        LUNA16_SLICES,
        ('nodule outside', 'outside of the scan', replaced('annotations.csv', '10,18', '999,18')),
    ),
    *of_options(LUNA16_SLICES, *SHARES),
)
def test_luna16_slices(case, refuses):
    refuses(case)


@table(
    *of_tool(
        NIH_LN,
        ('no folder', 'has no folder ABD_LYMPH_001', remove('')),
        ('truncated slice', 'damaged', truncate(f'{SERIES}/000003.dcm', 0.3)),
        ('a header alone', 'damaged', truncate(f'{SERIES}/000003.dcm', 0.15)),
        ('text for a slice', '', text(f'{SERIES}/000003.dcm', 'no slice')),
        (
            'text for all slices',
            'no DICOM series',
            both(*(text(f'{SERIES}/{n:06d}.dcm', '') for n in range(8))),
        ),
        ('truncated mask', 'cannot read', truncate(NODES)),
        ('a folder for the mask', 'there is no', folder_for(NODES)),
        ('mask of other size', 'have the size', image(NODES, lambda labels: labels[1:])),
        ('mask of floats', 'not a segmentation', voxel(NODES, 0.5)),
        ('text for a point', 'not a list of numbers', text(POINTS('physicalPoints'), 'a b c\n')),
        ('NaN for a point', 'not finite', text(POINTS('physicalPoints'), 'nan 1 2\n')),
        ('two numbers for a point', 'three numbers', text(POINTS('physicalPoints'), '1 2\n')),
        ('point outside', 'outside of its scan', text(POINTS('physicalPoints'), '1 2 1e12\n')),
        ('no sizes', 'there is no', remove(POINTS('sizes'))),
        ('negative size', 'size', text(POINTS('sizes'), '-3\n')),
        ('zero size', 'size', text(POINTS('sizes'), '0\n')),
        ('binary points', 'not a list of numbers', binary(POINTS('physicalPoints'))),
    ),
    *of_options(NIH_LN, *SHARES),
)
def test_nih_ln(case, refuses):
    refuses(case)


BOX = 'a,7.5,7.5,2.5,15.5,13.5,4.5'


def other_box(row):
    """Another row than the first of the table of boxes."""
    return replaced('boxes.csv', BOX, row)


@table(
    *of_tool(
        BOXES,
        ('no folder', 'is not a folder', remove('images')),
        (
            'no scan of that form',
            'has no file <case>.nii.gz',
            both(remove('images/a.nii'), remove('images/b.nii')),
        ),
        ('no table', 'cannot be read as CSV', remove('boxes.csv')),
        ('empty table', 'has no column', truncate('boxes.csv', 0)),
        ('a folder for the table', 'cannot be read as CSV', folder_for('boxes.csv')),
        ('binary table', 'cannot be read as CSV', binary('boxes.csv')),
        ('text for a number', 'not six numbers', other_box('a,x,7.5,2.5,15.5,13.5,4.5')),
        ('NaN for a number', 'not six numbers', other_box('a,nan,7.5,2.5,15.5,13.5,4.5')),
        ('1e400 for a number', 'not six numbers', other_box('a,1e400,7.5,2.5,15.5,13.5,4.5')),
        ('box the wrong way', 'is not x1 < x2', other_box('a,17.5,7.5,2.5,15.5,13.5,4.5')),
        ('box outside', 'lies outside of its scan', other_box('a,90,90,90,99,99,99')),
        ('box of 1e12', 'lies outside of its scan', other_box('a,1,1,1,1e12,1e12,1e12')),
        ('a path for a case', 'is no name of a scan', other_box(f'../{BOX}')),
        ('unknown case', 'there is no', other_box(f'c{BOX}')),
        ('two patients of a case', 'in a row before', replaced('boxes.csv', '\nb', '\na')),
        ('two scans of a case', 'are of one case', text('images/a.mha', '')),
        (
            'a split like a path',
            'split',
            both(
                replaced('boxes.csv', 'patient\n', 'split\n'),
                replaced('boxes.csv', 'lesion,a\n', 'lesion,../../a\n'),
            ),
        ),
    ),
    *of_tool(
        MASKS,
        ('no masks', 'is not a folder', remove('masks')),
        (
            'no mask of that name',
            'has no mask that is named',
            both(remove('masks/a.nii'), remove('masks/b.nii'), text('masks/c.nii', '')),
        ),
        ('truncated mask', 'cannot read', truncate('masks/a.nii')),
        ('mask of other size', 'have the size', image('masks/a.nii', lambda labels: labels[1:])),
        ('mask of other spacing', 'have the spacing', nifti_spacing('masks/a.nii', 3.0)),
        ('NaN spacing', 'spacing', nifti_spacing('images/a.nii', NAN)),
        ('NaN voxel', 'NaN or infinite', voxel('images/a.nii', NAN)),
    ),
    *of_tool(
        CASES,
        ('no cases', 'cannot be read as CSV', remove('cases.csv')),
        ('no column of cases', 'has no column case', replaced('cases.csv', 'case', 'name')),
        ('more cells than the header', 'more cells', replaced('cases.csv', 'a,p', 'a,p,q,r')),
    ),
    *of_tool(
        NIFTI_VOLUMES,
        ('truncated scan', 'cannot read', truncate('images/a.nii')),
        ('spacing 1e9', 'spacing', nifti_spacing('images/a.nii', 1e9)),
        ('infinite spacing', 'spacing', nifti_spacing('images/a.nii', INF)),
    ),
    *of_options(
        MASKS,
        *SHARES,
        ('--folds 1', '--folds is 1'),
        ('--folds 9', 'there are 2 patients'),
        ('--folds -2', '--folds is -2'),
        ('--window 100 0', 'is not low < high'),
        ('--window nan 0', 'is not low < high'),
        ('--classes a a', 'names one twice'),
        ('--world', 'leave it out with --masks'),
        ('--context-mm nan', 'context_mm is nan'),
    ),
    *of_options(
        MASKS,
        ('--window low high', 'invalid float value'),
        ('--window 1', 'expected 2 arguments'),
        ('--boxes x', 'not allowed with'),
        status=2,
    ),
)
def test_nifti(case, refuses):
    refuses(case)
