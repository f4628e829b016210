"""`python -m tenfold` is `tenfold`."""

from tenfold.app.cli import main

if __name__ == "__main__":
    main()
