"""The command line of wiretape and the daemon behind it."""
