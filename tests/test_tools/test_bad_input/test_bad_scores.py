"""What the tools that score and merge detections refuse."""

from bad_input_spoil import (
    DEEP_JSON,
    HUGE_INTEGER,
    binary,
    edited,
    field,
    folder_for,
    remove,
    replaced,
    text,
    truncate,
    without,
)
from bad_input_table import Case, Tool, of_options, of_tool, table

NAN = float('nan')
SLICES = Tool(
    'analysis_tools/eval_froc.py',
    'scores',
    'deeplesion --gt {data}/test.json --pred {data}/results.json --out {out}',
)
LENS = SLICES._replace(
    arguments='lens --gt {data}/lens.json --pred {data}/lens_pred.json --out {out}'
)
LUNA16 = SLICES._replace(
    arguments='luna16 --gt {data}/annotations.csv --excluded {data}/excluded.csv '
    '--series {data}/series.csv --pred {data}/marks.csv --out {out}'
)
COMPARE = Tool(
    'analysis_tools/compare_froc.py',
    'compared',
    'A={data}/a/froc.json B={data}/b/froc.json --draws 20 --out {out}',
)
MERGE = Tool(
    'analysis_tools/merge_detections.py',
    'scores',
    '{data}/results.json {data}/other.json --out {out}',
)
MARKS = MERGE._replace(arguments='{data}/marks.csv {data}/marks.csv --out {out}')
SPHERES = MERGE._replace(arguments='{data}/spheres.json {data}/spheres.json --out {out}')
TRUTH, RESULTS = 'test.json', 'results.json'


def test_valid_data_are_scored(valid_data, run_tool, tmp_path):
    for number, tool in enumerate((SLICES, LENS, LUNA16, COMPARE, MERGE, MARKS, SPHERES)):
        data, out = valid_data(tool.data), tmp_path / str(number)
        run_tool(tool.script, *tool.arguments.format(data=data, out=out).split())
        assert out.exists()


def first(key, value):
    """Set a field of the first result."""
    return edited(RESULTS, lambda results: results[0].__setitem__(key, value))


def dropped(key):
    def change(results):
        del results[0][key]

    return edited(RESULTS, change)


def results_of(tool):
    """What all refuse of COCO results."""
    return of_tool(
        tool,
        ('no results', RESULTS, remove(RESULTS)),
        ('a folder for the results', RESULTS, folder_for(RESULTS)),
        ('truncated results', 'is not valid JSON', truncate(RESULTS)),
        ('binary results', 'is not valid JSON', binary(RESULTS)),
        ('deep results', 'Expected `object`', text(RESULTS, DEEP_JSON)),
        ('a million digits', 'is not valid JSON', text(RESULTS, HUGE_INTEGER)),
        ('results as a dictionary', 'must be a list', text(RESULTS, '{}')),
        ('a result as a number', RESULTS, text(RESULTS, '[1]')),
        ('a result without score', 'required field `score`', dropped('score')),
        ('a result without box', 'required field `bbox`', dropped('bbox')),
        ('a result without image', 'required field `image_id`', dropped('image_id')),
        ('a score as text', 'score: Expected `float`', first('score', 'high')),
        ('a NaN score', 'not a finite number', first('score', NAN)),
        ('an infinite score', 'not a finite number', first('score', float('inf'))),
        ('a score of 10^400', 'score: Number out of range', first('score', 10**400)),
        ('a box of three', 'bbox: Expected `array` of length 4', first('bbox', [1, 2, 3])),
        ('a box of 10^400', 'bbox[3]: Number', first('bbox', [1, 2, 3, 10**400])),
        ('a NaN box', 'not 4 finite', first('bbox', [1, 2, 3, NAN])),
        ('a box as text', 'bbox: Expected `array`', first('bbox', 'box')),
        ('a list as image id', 'image_id', first('image_id', [1])),
        ('a dictionary as image id', 'image_id', first('image_id', {})),
    )


@table(
    *results_of(SLICES),
    *of_tool(
        SLICES,
        ('no truth', TRUTH, remove(TRUTH)),
        ('truncated truth', 'is not valid JSON', truncate(TRUTH)),
        ('deep truth', 'is not valid JSON', text(TRUTH, DEEP_JSON)),
        ('truth as a list', 'needs lists', text(TRUTH, '[]')),
        ('no images', 'needs lists', edited(TRUTH, lambda coco: coco.pop('images') and None)),
        ('an image as text', TRUTH, edited(TRUTH, lambda coco: coco.update(images=['a']))),
        ('an image without id', 'required field `id`', without(TRUTH, 'id', 'images')),
        ('a list as id', TRUTH, field(TRUTH, 'id', [1], 'images')),
        ('an id of 10^400', 'not listed', field(TRUTH, 'id', 10**400, 'images')),
        ('two images of one id', 'same id', field(TRUTH, 'id', 2, 'images')),
        ('an annotation as text', TRUTH, edited(TRUTH, lambda c: c.update(annotations=['a']))),
        ('a true box as text', '"bbox": Expected `array`', field(TRUTH, 'bbox', 'box')),
        ('a true box of 10^400', '"bbox[3]": Number', field(TRUTH, 'bbox', [1, 2, 3, 10**400])),
        ('a category as text', '"category_id": Expected', field(TRUTH, 'category_id', 'a')),
        ('a category of 10^400', '"category_id": Number', field(TRUTH, 'category_id', 10**400)),
        ('a category of 1e30', 'category_id', field(TRUTH, 'category_id', 1e30)),
        ('a category of 1.5', 'category_id', field(TRUTH, 'category_id', 1.5)),
        ('a list as patient', 'patient', field(TRUTH, 'patient_id', [1], 'images')),
        ('ignored lesions alone', 'no lesions', field(TRUTH, 'ignore', 1)),
        ('diameters as text', 'diameters_mm', field(TRUTH, 'diameters_mm', 'x')),
        (
            'unknown images alone',
            'of other items than',
            edited(RESULTS, lambda results: [dict(one, image_id=99) for one in results]),
        ),
    ),
    Case(
        SLICES,
        'type as text',
        'lesion_type',
        field(TRUTH, 'lesion_type', [1]),
        '--groups lesion_type',
    ),
    Case(
        SLICES,
        'type of 10^400',
        'lesion_type',
        field(TRUTH, 'lesion_type', 10**400),
        '--groups lesion_type',
    ),
    *of_options(
        SLICES,
        ('--bootstrap -1', '--bootstrap'),
        ('--bootstrap 1000000000000', '--bootstrap'),
        ('--seed -1', '--seed'),
        ('--threshold nan', 'threshold'),
        ('--threshold -1', 'threshold'),
        ('--threshold 2', 'threshold'),
        ('--groups organ', 'no lesion has the field organ'),
        ('--groups area:3,1', 'ascending'),
        ('--groups area:x', 'ascending'),
    ),
    *of_options(
        SLICES,
        ('--overlap none', 'invalid choice'),
        ('--threshold half', 'invalid float value'),
        ('--bootstrap 1e3', 'invalid int value'),
        status=2,
    ),
)
def test_slices(case, refuses):
    refuses(case)


NAME = '000001_01_02_003-009'


def boxes(name, rows):
    return edited(name, lambda content: {NAME: rows})


@table(
    *of_tool(
        LENS,
        ('no truth', 'lens.json', remove('lens.json')),
        ('truth as a list', 'must be a dictionary', text('lens.json', '[]')),
        ('empty truth', 'must be a dictionary', text('lens.json', '{}')),
        ('boxes of five numbers', 'not 6 finite', boxes('lens.json', [[1, 1, 1, 2, 2]])),
        ('boxes of 10^400', 'not 6 finite', boxes('lens.json', [[1, 1, 1, 2, 2, 10**400]])),
        ('boxes as text', 'must have a list', boxes('lens.json', 'none')),
        ('a number for boxes', 'must have a list', boxes('lens.json', 3)),
        ('no lesion', 'has no lesions', boxes('lens.json', [])),
        ('results as a list', 'must be a dictionary', text('lens_pred.json', '[]')),
        ('results without score', 'not 7 finite', boxes('lens_pred.json', [[1, 1, 1, 2, 2, 2]])),
        ('NaN results', 'not 7 finite', boxes('lens_pred.json', [[1, 1, 1, 2, 2, 2, NAN]])),
        ('deep results', 'is not valid JSON', text('lens_pred.json', DEEP_JSON)),
    ),
    Case(LENS, 'no pickle', 'lens.pkl', binary('lens.pkl'), '--gt {data}/lens.pkl'),
    Case(LENS, 'empty pickle', 'lens.pkl', binary('lens.pkl', b''), '--gt {data}/lens.pkl'),
    *of_options(LENS, ('--split val', 'has no splits'), ('--threshold nan', 'threshold')),
)
def test_lens(case, refuses):
    refuses(case)


@table(
    *of_tool(
        LUNA16,
        ('no list', 'annotations.csv', remove('annotations.csv')),
        ('no list of scans', 'series.csv', remove('series.csv')),
        ('empty list of scans', 'no lesions in the listed', truncate('series.csv', 0)),
        ('a scan twice', 'listed twice', text('series.csv', 's\ns\n')),
        ('no marks', 'marks.csv', remove('marks.csv')),
        ('empty marks', 'has no column', truncate('marks.csv', 0)),
        ('binary marks', 'not a readable CSV', binary('marks.csv')),
        ('text for a mark', 'not 4 finite', replaced('marks.csv', '0.9', 'high')),
        ('NaN mark', 'not 4 finite', replaced('marks.csv', '0.9', 'nan')),
        ('1e400 mark', 'not 4 finite', replaced('marks.csv', '0.9', '1e400')),
        ('a cell too few', 'columns', replaced('marks.csv', ',0.9', '')),
        ('a column missing', 'has no column probability', replaced('marks.csv', 'prob', 'p')),
    ),
    *of_options(
        LUNA16,
        ('--tnp-sensitivity 0', '--tnp-sensitivity'),
        ('--tnp-sensitivity nan', '--tnp-sensitivity'),
        ('--bootstrap 1000000000000', '--bootstrap'),
    ),
)
def test_luna16(case, refuses):
    refuses(case)


CASES = 'a/froc.cases.json'


def cases(**values):
    return edited(CASES, lambda content: content.update(values))


@table(
    *of_tool(
        COMPARE,
        ('no score', 'no file matches', remove('a/froc.json')),
        ('no cases', 'does not exist', remove(CASES)),
        ('truncated cases', 'is not valid JSON', truncate(CASES)),
        ('deep cases', 'is not valid JSON', text(CASES, DEEP_JSON)),
        ('cases as a list', 'is not the cases', text(CASES, '[]')),
        ('a number for items', 'is not the cases', cases(items=3)),
        ('an index of 10^400', 'is not the cases', cases(fp_item=[10**400])),
        ('an index outside', 'is not the cases', cases(fp_item=[99], fp_point=[0])),
        ('a patient of 10^12', 'is not the cases', cases(patient=[0, 10**12])),
        ('levels as text', 'is not the cases', cases(fp_levels='x')),
        ('NaN levels', 'is not the cases', cases(fp_levels=[NAN, 1.0])),
        ('negative levels', 'is not the cases', cases(fp_levels=[-1.0])),
        ('other items', 'differ in "items"', cases(items=[7, 8])),
        ('no lesions', 'differ in', cases(lesion_item=[], lesion_point=[])),
        ('other rules', 'differ in "match_rules"', cases(match_rules='iobb over 0.5')),
        ('rates of another program', 'differ in "as_roc"', cases(as_roc=True)),
    ),
    *of_options(
        COMPARE,
        ('--draws 0', '--draws'),
        ('--draws 1000000000000', '--draws'),
        ('--seed -1', '--seed'),
        ('--reference C', 'is none of the rows'),
    ),
)
def test_compare(case, refuses):
    refuses(case)


@table(
    *results_of(MERGE),
    *of_tool(
        MERGE,
        ('a category as text', 'category_id', first('category_id', 'a')),
        ('a category of 10^400', 'category_id', first('category_id', 10**400)),
    ),
    *of_tool(
        MARKS,
        ('no marks', 'marks.csv', remove('marks.csv')),
        ('empty marks', 'has no column', truncate('marks.csv', 0)),
        ('NaN marks', 'not 4 finite', replaced('marks.csv', '0.9', 'nan')),
    ),
    *of_tool(
        SPHERES,
        ('a sphere without diameter', 'diameter_mm', replaced('spheres.json', 'diameter', 'd')),
        ('a list as series', 'series_uid', replaced('spheres.json', '"s"', '["s"]')),
        ('text for a center', 'center_mm', replaced('spheres.json', '[1, 2, 3]', '"x"')),
    ),
    *of_options(
        MERGE,
        ('--iou-thr 1', '--iou-thr'),
        ('--iou-thr nan', '--iou-thr'),
        ('--iou-thr -1', '--iou-thr'),
    ),
    Case(
        MERGE,
        'two kinds',
        'are of different kinds',
        text(
            'other.json',
            '[{"center_mm": [1, 2, 3], "diameter_mm": 1, "series_uid": "s", "score": 1}]',
        ),
    ),
    *of_options(MERGE, ('--mode both', 'invalid choice'), status=2),
)
def test_merge(case, refuses):
    refuses(case)
