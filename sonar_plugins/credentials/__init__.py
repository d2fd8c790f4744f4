"""Who the user is: the places where credentials are found, each a plugin of its own, asked in this order.

1. `credentials-environment`: the variables `SONAR_USERNAME`, `SONAR_PASSWORD`, `SONAR_TOKEN`
2. `credentials-docker`: docker's `config.json`, with its credential helpers
3. `credentials-podman`: podman's and skopeo's `auth.json`
4. `credentials-netrc`: `.netrc`

The first is `tryfirst` and the last `trylast`; those between go by name. Third parties' come before all of them.
"""
