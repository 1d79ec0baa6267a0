"""`python -m proxy_cli` is `wiretape`."""

from proxy_cli.cli import main

if __name__ == "__main__":
    main(prog_name="wiretape")
