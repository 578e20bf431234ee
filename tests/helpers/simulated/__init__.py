"""Three machines, their disks, a network file system and a bucket, in one process and from one seed.

`files` is the file systems, `bucket` the object store, `machines` clocks and processes, `below` what is put below `os`,
`io`, `time` and `threading`, and `schedule` what the machines do and what must hold.
"""
