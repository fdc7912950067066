/* Landlock: what even an emptied file system and an empty network would still allow is forbidden once more. */

/* The version of Landlock that the kernel has (1 or more), or 0 if it has none. */
int landlock_version(void);
/* Forbids the calling thread (and what it makes) everything that a Landlock of this version can forbid. 0 or -errno. */
int landlock_forbid_all(int version);
