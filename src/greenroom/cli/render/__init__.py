"""How answers of the platform look on a terminal.

Pure: models in, rich renderables out. What came over the network is put into `Text`, never into markup, and its
control characters are made visible, so that no log line can write to the terminal.

* `elements` has what all of it is made of: headings, tables, the colours and meanings of statuses.
* `release` draws one release, `cases` its test cases, `measured` what was measured.
* `tuning` draws a tuning of any function, `lists` everything that comes in rows.
"""
