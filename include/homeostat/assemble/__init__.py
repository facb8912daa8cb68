"""From raw rows to a training snapshot: windows, weights, bad periods, data quality."""
