"""The paper's tables, published figures beside ours."""
