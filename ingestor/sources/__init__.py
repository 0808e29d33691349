"""Where records come from: a package for each source, and `values`, what each of them gives.

Another source has to give, for a claimed slice, an asynchronous iterator of pages that are each committed inside
`async with page as batch`, in their order, and of which the last one `ends` the reading (`values.Batch`). It asks
`versions` which records are stored already, keeps what it holds within the `Room` of the process, and raises errors of
`ingestor.errors`. `ingestor.slices` commits the batches, whatever they come from; what proves a listing complete is the
source's own (`pncp.completeness`).
"""
