// Written by docs/dev/make_schema.py; change vexrepo/formats/schema.py, then run that.

export type Scalar = string | number | boolean | null;
export type Json = Scalar | Json[] | { [name: string]: Json };

/** Numbers of a vector that is zero elsewhere. Both arrays have one length. */
export type SparseVector = { indices: number[]; values: number[] };

/** A record of a .vmig.jsonl file, read leniently: what is accepted and kept. It has a text, a vector, or both. */
export interface VmigRecord {
  /** Identifies the record: not empty, and unique in its file (leniently: within its namespace). */
  id: string;
  /** What is remembered, in words. A record has a text, a vector, or both. */
  text?: string | null;
  /** The embedding: an array of finite numbers. Leniently also empty, several rows of one length, or sparse. */
  vector?: number[] | number[][] | SparseVector | null;
  /** The embedding model that made the vector. */
  model?: string | null;
  /** How many numbers the vector has; must be its length. */
  dims?: number | null;
  /** Divides a memory; absent, null and the empty string are the same. */
  namespace?: string | null;
  /** More about the record, by name: single values. Leniently also arrays and objects. */
  metadata?: { [name: string]: Json } | null;
  /** When the record was made, in ISO 8601. Leniently also seconds or milliseconds since 1970. */
  created_at?: string | number | null;
  /** The kind of store it was read from. */
  source_store?: string | null;
  /** What was embedded; absent means text. */
  modality?: string;
  /** Its similarity to a query, where it is the result of one. */
  score?: number | null;
  /** The version of the format. */
  vex_version: string;
  /** Other members are kept. */
  [name: string]: Json | undefined;
}

/** A record of a .vmig.jsonl file, by the letter of the format: what every vmig tool can be expected to take. */
export interface StrictVmigRecord {
  /** Identifies the record: not empty, and unique in its file (leniently: within its namespace). */
  id: string;
  /** What is remembered, in words. A record has a text, a vector, or both. */
  text?: string | null;
  /** The embedding: an array of finite numbers. Leniently also empty, several rows of one length, or sparse. */
  vector?: number[] | null;
  /** The embedding model that made the vector. */
  model?: string | null;
  /** How many numbers the vector has; must be its length. */
  dims?: number | null;
  /** Divides a memory; absent, null and the empty string are the same. */
  namespace?: string | null;
  /** More about the record, by name: single values. Leniently also arrays and objects. */
  metadata?: { [name: string]: Scalar } | null;
  /** When the record was made, in ISO 8601. Leniently also seconds or milliseconds since 1970. */
  created_at?: string | null;
  /** The kind of store it was read from. */
  source_store?: string | null;
  /** What was embedded; absent means text. */
  modality?: string;
  /** Its similarity to a query, where it is the result of one. */
  score?: number | null;
  /** The version of the format. */
  vex_version: string;
  /** Named vectors are not part of the format. */
  vectors?: Scalar | Json[];
  /** Other members are kept. */
  [name: string]: Json | undefined;
}
