"""The files of DeepLesion."""

BOX_PADDING = 5.0
"""px that DeepLesion adds to the extent of the RECIST diameters on each side."""

# the columns of DL_info.csv
DL_INFO_HEADER = (
    'File_name,Patient_index,Study_index,Series_ID,Key_slice_index,Measurement_coordinates,'
    'Bounding_boxes,Lesion_diameters_Pixel_,Normalized_lesion_location,Coarse_lesion_type,'
    'Possibly_noisy,Slice_range,Spacing_mm_px_,Image_size,DICOM_windows,Patient_gender,'
    'Patient_age,Train_Val_Test'
).split(',')
