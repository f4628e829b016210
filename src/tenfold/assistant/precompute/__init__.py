"""Questions that are asked often, answered ahead of time: nothing is read of what few people ask, a budget holds."""
