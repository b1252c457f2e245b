"""The referee: are the hand-derived gradients right?"""
