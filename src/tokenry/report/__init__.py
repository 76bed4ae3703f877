"""The report: how a person sees a comparison."""
