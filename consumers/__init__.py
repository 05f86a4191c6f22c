"""Read what comes out of the stream: alerts, archive, settlement, redrive."""
