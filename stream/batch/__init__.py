"""The batch challenger: LightGBM, refitted now and then on a window of matured labels."""
