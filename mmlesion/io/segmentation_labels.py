"""Labels of the benchmarks' segmentations; 0 is background."""

KITS19_KIDNEY, KITS19_TUMOR = 1, 2
LITS_LIVER, LITS_TUMOR = 1, 2
