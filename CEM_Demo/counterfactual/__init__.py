"""What would have to change outside the ROI, so that a network restores it worse, or better, by so many dB?"""
