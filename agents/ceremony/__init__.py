"""Key ceremonies: how the holders come to their shares."""
