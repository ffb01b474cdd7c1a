-- Whether one more start may be written down beside those that are neither stopping nor over. Without a limit: NULL.
-- Whoever asks is alone with the hub until its statement is over: two that count at the same time would both find room.
-- Each statement of a volatile function sees what was written until it begins, and so counts what others wrote while this
-- one waited. Older starts of the very name do not count: they make way for the newer one.
CREATE FUNCTION k8smgr_has_room(
    hub TEXT, name TEXT, wanted TEXT, hub_user BIGINT, per_user BIGINT, most BIGINT, global_per_user BIGINT
) RETURNS BOOLEAN LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    of_flavor_and_user BIGINT;
    of_flavor BIGINT;
    of_user BIGINT;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('k8smgr_flavors ' || hub, 0));
    SELECT count(*) FILTER (WHERE flavor = wanted AND jhub_user_id = hub_user),
           count(*) FILTER (WHERE flavor = wanted),
           count(*) FILTER (WHERE jhub_user_id = hub_user)
        INTO of_flavor_and_user, of_flavor, of_user
        FROM services
        WHERE credential = hub AND server_name <> name AND state NOT IN ('stopping', 'ended')
            AND (flavor = wanted OR jhub_user_id = hub_user);
    RETURN (per_user IS NULL OR of_flavor_and_user < per_user)
        AND (most IS NULL OR of_flavor < most)
        AND (global_per_user IS NULL OR of_user < global_per_user);
END
$$;
