"""How Cradle is put to work: the `cradle` command and the ways to run everything."""
