"""Vector stores, their files, batches and what was found, as OpenAI tells them. Pure."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from tenfold.retrieval.vector_stores.types import (
    FileBatch,
    FileCounts,
    FileText,
    Found,
    StoreFile,
    VectorStore,
    store_name,
)


def store_told(store: VectorStore) -> dict[str, Any]:
    told = {
        "id": store.public_id,
        "object": "vector_store",
        "created_at": _seconds(store.created_at),
        "name": store.title,
        "usage_bytes": store.usage_bytes,
        "file_counts": _counts(store.counts),
        "status": store.status,
        "expires_at": None if store.expires_at is None else _seconds(store.expires_at),
        "last_active_at": _seconds(store.last_active_at),
        "metadata": store.metadata,
    }
    if store.description is not None:
        told["description"] = store.description
    if store.expires_days is not None:
        told["expires_after"] = {"anchor": "last_active_at", "days": store.expires_days}
    return told


def file_told(file: StoreFile) -> dict[str, Any]:
    """One that is cut by its structure is told as `other`: no sizes describe it."""
    chunking: dict[str, Any] = {"type": "other"}
    if file.chunking is not None:
        static = {
            "max_chunk_size_tokens": file.chunking.max_tokens,
            "chunk_overlap_tokens": file.chunking.overlap_tokens,
        }
        chunking = {"type": "static", "static": static}
    return {
        "id": file.public_id,
        "object": "vector_store.file",
        "usage_bytes": file.usage_bytes,
        "created_at": _seconds(file.created_at),
        "vector_store_id": store_name(file.store_id),
        "status": file.status,
        "last_error": None if file.error is None else {"code": file.error.code, "message": file.error.message},
        "chunking_strategy": chunking,
        "attributes": file.attributes,
    }


def batch_told(batch: FileBatch) -> dict[str, Any]:
    return {
        "id": batch.public_id,
        "object": "vector_store.files_batch",
        "created_at": _seconds(batch.created_at),
        "vector_store_id": store_name(batch.store_id),
        "status": batch.status,
        "file_counts": _counts(batch.counts),
    }


def content_told(text: FileText) -> dict[str, Any]:
    """In one page."""
    return {
        "object": "vector_store.file_content.page",
        "data": [{"type": "text", "text": text.text}] if text.text else [],
        "has_more": False,
        "next_page": None,
        "file_id": text.file.public_id,
        "filename": text.file.filename,
        "attributes": text.file.attributes,
    }


def found_told(queries: Sequence[str], found: Sequence[Found]) -> dict[str, Any]:
    return {
        "object": "vector_store.search_results.page",
        "search_query": list(queries),
        "data": [
            {
                "file_id": one.file.public_id,
                "filename": one.file.filename,
                "score": one.score,
                "attributes": one.file.attributes,
                "content": [{"type": "text", "text": one.text}],
            }
            for one in found
        ],
        "has_more": False,
        "next_page": None,
    }


def _counts(counts: FileCounts) -> dict[str, int]:
    return {
        "in_progress": counts.in_progress,
        "completed": counts.completed,
        "failed": counts.failed,
        "cancelled": counts.cancelled,
        "total": counts.total,
    }


def _seconds(at: datetime) -> int:
    return int(at.timestamp())
