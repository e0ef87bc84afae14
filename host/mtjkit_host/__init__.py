"""Host tools of mtjkit."""
