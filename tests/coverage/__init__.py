"""Line coverage of the protocol core."""
