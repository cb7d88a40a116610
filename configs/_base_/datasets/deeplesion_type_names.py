# DeepLesion's eight types, as variables.
classes = (
    'bone',
    'abdomen',
    'mediastinum',
    'liver',
    'lung',
    'kidney',
    'soft_tissue',
    'pelvis',
)
typed = dict(metainfo=dict(classes=classes))
